"""Pure array functions, one equation each."""
