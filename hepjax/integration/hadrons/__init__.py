"""What hadrons collide with: parton densities, the running coupling, flavours, processes."""
