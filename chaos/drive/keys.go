package drive

import (
	"fmt"
	"strings"
)

// Names of keys in histories begin with the kind of record, so that a key is one record: an entry of the configuration, or
// an instance as service/id.
const (
	ConfigKey  = "config:"
	ServiceKey = "service:"
)

// NameOf is a key without its kind.
func NameOf(key string) string {
	_, name, _ := strings.Cut(key, ":")
	return name
}

// Service is the one whose instances the clients of a region write.
func Service(region string) string { return region + "-web" }

// groupOf begins the keys that a transaction changes together.
func groupOf(region string, n int) string { return fmt.Sprintf("%s%s/g%d/", ConfigKey, region, n) }

func levelOf(region string) string { return ConfigKey + region + "/app/level" }

func keyIn(group string, n int) string { return fmt.Sprintf("%sk%d", group, n) }

func instancesOf(region string) string { return ServiceKey + Service(region) + "/" }

func instanceIn(service string, n int) string { return fmt.Sprintf("%si%d", service, n) }

// Maker is the region whose clients write a key; "" when none does.
func (r *Run) Maker(key string) string {
	for i := range r.Plan.Regions {
		name := r.Plan.Regions[i].Name
		for _, prefix := range []string{ConfigKey + name + "/g", ConfigKey + name + "/app/", instancesOf(name)} {
			if strings.HasPrefix(key, prefix) {
				return name
			}
		}
	}
	return ""
}
