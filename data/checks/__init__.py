"""`quagga data check`: the problems of a set of pictures, found before training; one file for each kind of data."""
