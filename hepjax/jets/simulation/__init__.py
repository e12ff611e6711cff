"""From a collision in Pythia to measured jets: recipes, events, detector, and samples of them."""
