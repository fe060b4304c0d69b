package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-instagram/webhooks/e2e/internal/harness"
)

// receivers are the applications of the documentation, and receiverProjects what belongs to
// a project around those that need one.
const (
	receivers        = "../examples/receivers"
	receiverProjects = "testdata/receivers"
)

func startPlainPHP(t *testing.T, db database) receiver { return startPHP(t, db) }

func startPHP(t *testing.T, db database, pool ...string) receiver {
	t.Helper()
	dsn := fmt.Sprintf("env[DATABASE_DSN] = 'pgsql:host=127.0.0.1 port=%d user=postgres dbname=%s'", db.port, db.name)
	return startPHPReceiver(t, db, filepath.Join(receivers, "php"), "/usr/lib/php/*/pdo_pgsql.so", append(pool, dsn)...)
}

// startSignedPHP is startPlainPHP with the check of the signature before it.
func startSignedPHP(t *testing.T, db database) receiver {
	r := startPHP(t, db, "env[IG_APP_SECRET] = "+harness.Secret,
		"php_admin_value[auto_prepend_file] = "+absolute(t, receivers, "php", "signature.php"))
	r.signed = true
	return r
}

func startLaravel(t *testing.T, db database) receiver {
	return startPHPReceiver(t, db, filepath.Join(receiverProjects, "laravel"), "/usr/share/php/Illuminate/autoload.php",
		"env[EXAMPLE] = "+absolute(t, receivers, "laravel", "api.php"))
}

func startSymfony(t *testing.T, db database) receiver {
	return startPHPReceiver(t, db, filepath.Join(receiverProjects, "symfony"), "/usr/share/php/Symfony/Bundle/FrameworkBundle/autoload.php",
		"env[DIR] = "+t.TempDir(), "env[EXAMPLE] = "+absolute(t, receivers, "symfony", "WebhookController.php"))
}

// startPHPReceiver starts php-fpm for the index.php of a directory, if what it needs is
// installed.
func startPHPReceiver(t *testing.T, db database, dir, needs string, pool ...string) receiver {
	t.Helper()
	need(t, installed(needs), needs)
	php := harness.StartInstalledPHP(t, append(pool, "env[DATABASE_URL] = "+db.url())...)
	php.Root = absolute(t, dir)
	db.create(t)
	return receiver{directives: php.FastCGI("index.php", errorsOfPHP(t)), handled: "handled_events", processed: "messages"}
}

func startDjango(t *testing.T, db database) receiver {
	python := ""
	for _, candidate := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(candidate, "-c", "import django, psycopg2").Run() == nil {
			python = candidate
		}
	}
	need(t, python != "", "Django with psycopg2")
	dir := t.TempDir()
	copyInto(t, dir, filepath.Join(receiverProjects, "django"))
	app := filepath.Join(dir, "receiver")
	copyInto(t, app, filepath.Join(receivers, "django"))
	manage := func(args ...string) *exec.Cmd {
		cmd := exec.Command(python, append([]string{"-m", "django"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PYTHONPATH="+dir, "DJANGO_SETTINGS_MODULE=settings", "DATABASE_URL="+db.url())
		return cmd
	}
	if out, err := manage("migrate", "--run-syncdb").CombinedOutput(); err != nil {
		t.Fatalf("making the tables: %v\n%s", err, out)
	}
	address := harness.FreeAddr(t)
	r := startHTTPReceiver(t, address, manage("runserver", "--noreload", address))
	r.handled, r.processed = "receiver_handledevent", "receiver_message"
	return r
}

func startExpress(t *testing.T, db database) receiver {
	_, err := exec.LookPath("npm")
	need(t, err == nil, "Node with npm")
	dir := t.TempDir()
	copyInto(t, dir, filepath.Join(receivers, "express"))
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	out, err := install.CombinedOutput()
	need(t, err == nil, fmt.Sprintf("Express from npm: %v\n%s", err, out))
	db.create(t)
	address := harness.FreeAddr(t)
	cmd := exec.Command("node", "server.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DATABASE_URL="+db.url(), "PORT="+portOf(address), "NODE_ENV=production")
	return startHTTPReceiver(t, address, cmd)
}

func startSinatra(t *testing.T, db database) receiver {
	err := exec.Command("ruby", "-e", "require 'sinatra/base'; require 'sequel'; require 'pg'; require 'puma'").Run()
	need(t, err == nil, "Sinatra with Sequel, pg and Puma")
	db.create(t)
	address := harness.FreeAddr(t)
	cmd := exec.Command("ruby", filepath.Join(receivers, "sinatra", "app.rb"), "-o", "127.0.0.1", "-p", portOf(address), "-e", "production")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+db.url())
	return startHTTPReceiver(t, address, cmd)
}

func startSpring(t *testing.T, db database) receiver {
	const jars = "/usr/share/java/"
	classpath := []string{t.TempDir()}
	for _, name := range strings.Fields(`spring3-aop spring3-beans spring3-context spring3-core spring3-expression spring3-jdbc
		spring3-transaction spring3-web spring3-web.servlet jetty9-http jetty9-io jetty9-security jetty9-server jetty9-servlet
		jetty9-util servlet-api asm jackson-annotations jackson-core jackson-databind commons-logging aopalliance postgresql`) {
		need(t, installed(jars+name+".jar"), "Spring: "+jars+name+".jar")
		classpath = append(classpath, jars+name+".jar")
	}
	_, err := exec.LookPath("javac")
	need(t, err == nil, "javac")
	out, err := exec.Command("javac", "-parameters", "-d", classpath[0], "-cp", strings.Join(classpath, ":"),
		filepath.Join(receivers, "spring", "WebhookController.java"), filepath.Join(receiverProjects, "spring", "Application.java")).CombinedOutput()
	if err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	db.create(t)
	address := harness.FreeAddr(t)
	// This Spring is older than this Java.
	cmd := exec.Command("java", "--add-opens=java.base/java.lang=ALL-UNNAMED", "-cp", strings.Join(classpath, ":"), "com.example.webhooks.Application")
	cmd.Env = append(os.Environ(), "PORT="+portOf(address), "JDBC_URL=jdbc:postgresql://127.0.0.1:"+fmt.Sprintf("%d/%s?user=postgres", db.port, db.name))
	return startHTTPReceiver(t, address, cmd)
}

// startHTTPReceiver starts a program that listens at an address, with the tables of the
// documentation.
func startHTTPReceiver(t *testing.T, address string, cmd *exec.Cmd) receiver {
	t.Helper()
	harness.StartProgram(t, cmd)
	harness.Wait(t, "the receiver listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return receiver{directives: "reverse_proxy " + address, handled: "handled_events", processed: "messages"}
}

// need skips a test for want of something that has to be there in continuous integration.
func need(t *testing.T, has bool, what string) {
	t.Helper()
	switch {
	case has:
	case os.Getenv("CI") == "true":
		t.Fatalf("CI must have what this test needs: %s", what)
	default:
		t.Skipf("skipped: this test needs %s", what)
	}
}

// installed reports whether a file is there.
func installed(pattern string) bool {
	found, _ := filepath.Glob(pattern)
	return len(found) > 0
}

func absolute(t *testing.T, path ...string) string {
	t.Helper()
	full, err := filepath.Abs(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return full
}

func copyInto(t *testing.T, dir, from string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func portOf(address string) string { return address[strings.LastIndex(address, ":")+1:] }
