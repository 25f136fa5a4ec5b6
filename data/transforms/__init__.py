"""What happens to a picture on its way to the network: scaling, cutting, mirroring, inputs made of it, conditions."""
