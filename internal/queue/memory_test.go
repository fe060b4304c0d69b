package queue

// NewMemory returns a store in memory. That imports this package: only its external
// tests can name it, and set this.
var NewMemory func() Store
