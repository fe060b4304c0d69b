// Package suggest finds the names that a misspelt one may stand for.
package suggest

import (
	"cmp"
	"slices"
	"strings"
)

// Nearest returns the n names that are most similar to a name, the most similar
// first.
func Nearest(name string, names []string, n int) []string {
	name = name[:min(len(name), 100)] // a longer one is similar to none
	distances := make(map[string]int, len(names))
	for _, other := range names {
		distances[other] = Distance(name, other)
		if strings.Contains(other, name) || strings.Contains(name, other) {
			distances[other] /= 4
		}
	}
	sorted := slices.SortedStableFunc(slices.Values(names), func(a, b string) int { return cmp.Compare(distances[a], distances[b]) })
	return sorted[:min(n, len(sorted))]
}

// Distance returns how many letters must be changed, added or removed to make b
// out of a (Levenshtein).
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
