"""Makes the host match the rows and writes back what is so. The only package, beside `watch`, that holds a live driver."""
