"""Headers of caution. The server itself adds them, so that what it refuses alone has them too."""

# The one style that is not a file of ours: what wavesurfer.js 8.0.1 puts into its shadow root, at
# the height of `static/js/waveform.js`. The browser's console names the hash of any other.
_WAVEFORM_STYLE = "'sha256-Y/8t1dAKa3ay+RZEiEFEDr8dFiQhpaFvYXXUfT3p6ZU='"

POLICY = (
    f"default-src 'self'; style-src 'self' {_WAVEFORM_STYLE}; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
}
