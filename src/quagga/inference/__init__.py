"""What a run leaves behind, put to use: pictures from pictures or noise, without trainer, data set, discriminator."""
