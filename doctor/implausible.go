package doctor

import (
	"fmt"
	"strings"
)

// implausible says why a text cannot be an app secret, which is 32 hexadecimal
// digits, without showing any of it. "" means that it can be one.
func implausible(secret string) string {
	hexadecimal := strings.Trim(secret, "0123456789abcdefABCDEF") == ""
	switch {
	case hexadecimal && len(secret) == 32:
		return ""
	case strings.HasPrefix(secret, "\ufeff"):
		return "begins with a byte order mark"
	case strings.ContainsRune(secret, 0):
		return "is in UTF-16"
	case strings.ContainsAny(secret, "\"'`"):
		return "holds quotation marks"
	case strings.TrimSpace(secret) != secret:
		return "begins or ends with white space"
	case strings.Trim(secret, "•●∙·.*") == "":
		return "is the dots that hide a secret"
	case strings.Trim(secret, "0123456789") == "":
		return "is a number, such as the id of an app"
	case hexadecimal:
		return fmt.Sprintf("has %d hexadecimal digits, not 32", len(secret))
	}
	return "is not made of hexadecimal digits only"
}
