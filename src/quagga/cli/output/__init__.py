"""What commands write and show: output files, sheets, films, previews, the progress bar."""
