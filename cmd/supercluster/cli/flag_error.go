package cli

import (
	"errors"
	"math"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"supercluster/internal/config"
	"supercluster/internal/fault"
)

// flagError says in plain words what is wrong with a flag of any command: pflag says it in those of Go's own parsers.
func flagError(cmd *cobra.Command, err error) error {
	e := flagFault(err)
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		if near := config.Nearest(unknown.GetSpecifiedName(), flagNames(cmd)); near != "" {
			return e.WithHint("did you mean --%s?", near)
		}
	}
	return e.WithHint("see `%s --help`", cmd.CommandPath())
}

func flagFault(err error) *fault.Error {
	var (
		unknown *pflag.NotExistError
		lacking *pflag.ValueRequiredError
		syntax  *pflag.InvalidSyntaxError
		wrong   *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return fault.New(fault.Invalid, "unknown flag: -%.1s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return fault.New(fault.Invalid, "unknown flag: --%s", unknown.GetSpecifiedName())
	case errors.As(err, &lacking):
		return fault.Field("--"+lacking.GetFlag().Name, "is given without a value")
	case errors.As(err, &syntax):
		return fault.New(fault.Invalid, "%q is no flag", syntax.GetSpecifiedFlag())
	case errors.As(err, &wrong):
		return fault.Field("--"+wrong.GetFlag().Name, "%q is not %s", wrong.GetValue(), kindOfValue(wrong.GetFlag().Value.Type()))
	default:
		return fault.New(fault.Invalid, "%v", err)
	}
}

// kindOfValue names what a type of flag takes.
func kindOfValue(flagType string) string {
	switch flagType {
	case "bool":
		return "true or false"
	case "duration":
		return "a duration such as 500ms, 10s or 5m"
	case "uint32":
		return "a number from 0 to " + utoa(uint32(math.MaxUint32))
	case "uint64":
		return "a number from 0 to " + utoa(uint64(math.MaxUint64))
	case "int32":
		return "a whole number below " + utoa(uint64(math.MaxInt32+1))
	case "int":
		return "a whole number below " + utoa(uint64(math.MaxInt64+1))
	case "stringToInt":
		return "NAME=NUMBER, or several separated by commas"
	case "stringToString":
		return "KEY=VALUE, or several separated by commas"
	case "stringSlice":
		return "a list separated by commas: a quote in it has no other"
	default:
		return "a value that it takes"
	}
}
