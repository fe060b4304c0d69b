package site

// VisitApp is for tests with a config that does not run.
var VisitApp = visitApp
