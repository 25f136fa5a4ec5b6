"""What each kind of run is judged by: real pictures, measures, and what doing nothing scores."""
