<?php
// Tells the client nothing of the request. What it writes to the error log comes
// back to Caddy over FastCGI.
error_log('complaint of the script');
