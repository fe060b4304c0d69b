<?php
// Fails at once.
no_such_function();
