//! Victron GX devices (Cerbo, Venus, CCGX, MultiPlus-II GX) for Busbar.
