//! Inspects and loads Busbar's plugins, in worker processes.
