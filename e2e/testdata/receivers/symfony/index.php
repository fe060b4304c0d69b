<?php

// A Symfony application that has nothing but the controller of the example.

use Doctrine\DBAL\Connection;
use Doctrine\DBAL\DriverManager;
use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpKernel\Kernel;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

require 'Symfony/Bundle/FrameworkBundle/autoload.php';
require 'Doctrine/DBAL/autoload.php';
if (!class_exists(Symfony\Component\Routing\Attribute\Route::class)) { // older than Symfony 6.4
    class_alias(Symfony\Component\Routing\Annotation\Route::class, Symfony\Component\Routing\Attribute\Route::class);
}
require getenv('EXAMPLE');

class Example extends Kernel
{
    use MicroKernelTrait;

    public function registerBundles(): iterable
    {
        return [new FrameworkBundle()];
    }

    public function getProjectDir(): string
    {
        return getenv('DIR');
    }

    private function configureContainer(ContainerConfigurator $container): void
    {
        $container->extension('framework', ['secret' => 'of the test', 'http_method_override' => false]);
        $services = $container->services()->defaults()->autowire()->autoconfigure();
        $services->set(App\Controller\WebhookController::class)->tag('controller.service_arguments');
        $services->set(Connection::class)->factory([DriverManager::class, 'getConnection'])
            ->args([['url' => getenv('DATABASE_URL'), 'driver' => 'pdo_pgsql']]);
    }

    private function configureRoutes(RoutingConfigurator $routes): void
    {
        $routes->import(getenv('EXAMPLE'), 'annotation');
    }
}

$kernel = new Example('prod', false);
$response = $kernel->handle($request = Request::createFromGlobals());
$response->send();
$kernel->terminate($request, $response);
