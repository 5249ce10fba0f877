"""The grid of pictures, its thumbnails and the strip under the canvas."""
