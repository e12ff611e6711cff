"""Which of eleven partons a jet of an electron-positron collision comes from."""
