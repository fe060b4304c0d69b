<?php
// Fails after it has written something.
echo 'something';
no_such_function();
