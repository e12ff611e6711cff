"""Files in and out: ROOT tables of jets, streams of them, and the weights of other frameworks."""
