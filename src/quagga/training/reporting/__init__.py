"""What a run says of itself: TensorBoard, the progress line, strips of held-out pictures, how long it will take."""
