"""Between pictures and latents: files, tiles, the decoder and the image encoder."""
