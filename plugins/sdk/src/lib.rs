//! The ABI between Busbar and its plugins, and the safe trait that plugin authors implement.
