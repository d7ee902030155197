"""Text to sound by discrete diffusion over mel-spectrogram tokens."""
