"""hepjax: machine learning for high-energy physics in JAX."""
