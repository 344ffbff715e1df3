"""Parts of the Gibbs panel: chains of Boltzmann machines, their units, filters and log Z."""
