//! Serves Busbar ledgers as simulated devices over real sockets.
