"""One module for each group of rows; each has `measure`, which returns them."""
