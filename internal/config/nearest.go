package config

// maxNear bounds the names that are compared: the cost grows with the square of their length.
const maxNear = 128

// Nearest gives the known name that differs least from a name, or "" when none is near: for "did you mean".
func Nearest(name string, known []string) string {
	if len(name) > maxNear {
		return ""
	}
	best, limit := "", max(2, len(name)/3)
	for _, k := range known {
		// Half of a short name is another name.
		if d := distance(name, k); d <= min(limit, len(k)/2) && (best == "" || d < limit) {
			best, limit = k, d
		}
	}
	return best
}

// distance counts the insertions, removals, replacements and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
