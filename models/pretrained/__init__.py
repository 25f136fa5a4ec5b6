"""Networks that were trained on other pictures and are not trained here: features for losses and discriminators."""
