"""Cross-sections: matrix elements, phase space, parton densities, and how to integrate them."""
