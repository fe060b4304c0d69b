<?php

// A Laravel application that has nothing but the routes of the example.

use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Foundation\Application;
use Illuminate\Foundation\Bootstrap;
use Illuminate\Foundation\Exceptions\Handler;
use Illuminate\Foundation\Http\Kernel;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Facade;
use Illuminate\Support\Facades\Route;

ini_set('display_errors', '0'); // Debian's Laravel is older than its PHP, and deprecated here and there
require 'Illuminate/autoload.php';

// It reads no files of a project.
class Example extends Kernel
{
    protected $bootstrappers = [Bootstrap\HandleExceptions::class, Bootstrap\BootProviders::class];
}

$app = new Application(sys_get_temp_dir());
$app->detectEnvironment(fn () => 'production');
$app->instance('config', new Illuminate\Config\Repository([
    'app' => ['debug' => false, 'locale' => 'en', 'fallback_locale' => 'en'],
    'database' => ['default' => 'pgsql', 'connections' => ['pgsql' => [
        'driver' => 'pgsql', 'url' => getenv('DATABASE_URL'), 'charset' => 'utf8',
    ]]],
    'logging' => [
        'default' => 'errorlog',
        'deprecations' => 'null',
        'channels' => ['errorlog' => ['driver' => 'errorlog']],
    ],
    'view' => ['paths' => [], 'compiled' => sys_get_temp_dir()],
]));
$app->singleton(ExceptionHandler::class, Handler::class);
Facade::setFacadeApplication($app);
$app->register(Illuminate\Database\DatabaseServiceProvider::class);
$app->register(Illuminate\Filesystem\FilesystemServiceProvider::class);
$app->register(Illuminate\Translation\TranslationServiceProvider::class);
$app->register(Illuminate\View\ViewServiceProvider::class);
$app->booted(fn () => Route::group([], getenv('EXAMPLE')));

$kernel = $app->make(Example::class);
$response = $kernel->handle($request = Request::capture());
$response->send();
$kernel->terminate($request, $response);
