<?php
// Fails after it has asked for errors to be shown, as frameworks do while they
// are developed.
ini_set('display_errors', '1');
no_such_function();
