"""Arrays of other libraries, and conversion to float32."""
