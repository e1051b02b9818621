//! Busbar's registry and history in SQLite: the only SQL of the project.
