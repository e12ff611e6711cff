"""Tree-level matrix elements: wavefunctions, currents, colour, and a recursion over them."""
