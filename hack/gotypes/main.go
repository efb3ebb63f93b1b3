// gotypes prints what Go's decoder and encoder know of the API's types and the published schemas do not say: which
// fields are pointers, what is left out when empty, how wide an integer is, what a type is called.
//
// The output is a JSON object: by definition name, by field name, in Go's order, the field's type as Go writes it, then
// its options; `in=` says in which embedded struct it is, `pb=` its number in protobuf (of the embedded struct, too,
// where that is a message of its own). It runs in the module that pins Kubernetes; hack/generate.py does that.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	apps "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	events "k8s.io/api/events/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	scheduling "k8s.io/api/scheduling/v1"
	storage "k8s.io/api/storage/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var roots = []any{
	core.Namespace{}, core.Pod{}, core.Service{}, core.Endpoints{}, core.ConfigMap{}, core.Secret{},
	core.ServiceAccount{}, core.Event{}, core.Node{}, core.PersistentVolumeClaim{}, core.PersistentVolume{},
	core.ReplicationController{}, core.ResourceQuota{}, core.LimitRange{}, core.Binding{},
	apps.Deployment{}, apps.ReplicaSet{}, apps.StatefulSet{}, apps.DaemonSet{}, apps.ControllerRevision{},
	batch.Job{}, batch.CronJob{},
	networking.Ingress{}, networking.IngressClass{}, networking.NetworkPolicy{},
	discovery.EndpointSlice{}, coordination.Lease{}, events.Event{},
	autoscalingv1.HorizontalPodAutoscaler{}, autoscalingv2.HorizontalPodAutoscaler{}, autoscalingv1.Scale{},
	policy.PodDisruptionBudget{}, policy.Eviction{},
	rbac.Role{}, rbac.ClusterRole{}, rbac.RoleBinding{}, rbac.ClusterRoleBinding{},
	admissionregistration.MutatingWebhookConfiguration{}, admissionregistration.ValidatingWebhookConfiguration{},
	apiextensions.CustomResourceDefinition{}, scheduling.PriorityClass{}, storage.StorageClass{},
	authentication.SelfSubjectReview{}, authentication.TokenRequest{}, authentication.TokenReview{},
	authorization.LocalSubjectAccessReview{}, authorization.SelfSubjectAccessReview{},
	authorization.SelfSubjectRulesReview{}, authorization.SubjectAccessReview{},
	meta.DeleteOptions{},
}

// Types that decode themselves; what they accept is written where they are decoded.
var opaque = map[string]bool{
	"io.k8s.apimachinery.pkg.apis.meta.v1.Time": true, "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": true,
	"io.k8s.apimachinery.pkg.apis.meta.v1.Duration": true, "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": true,
	"io.k8s.apimachinery.pkg.api.resource.Quantity":   true,
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString": true,
	"io.k8s.apimachinery.pkg.runtime.RawExtension":    true,
}

type field struct{ name, text string }

// fields keeps Go's order when written as JSON.
type fields []field

func (f fields) MarshalJSON() ([]byte, error) {
	parts := make([]string, 0, len(f))
	for _, each := range f {
		parts = append(parts, fmt.Sprintf("%q:%q", each.name, each.text))
	}
	return []byte("{" + strings.Join(parts, ",") + "}"), nil
}

func main() {
	definitions := map[string]fields{}
	for _, root := range roots {
		add(reflect.TypeOf(root), definitions)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(definitions); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// definition is how OpenAPI names a Go type: k8s.io/api/core/v1.Pod is io.k8s.api.core.v1.Pod.
func definition(t reflect.Type) string {
	host, path, _ := strings.Cut(t.PkgPath(), "/")
	labels := strings.Split(host, ".")
	for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
		labels[i], labels[j] = labels[j], labels[i]
	}
	return strings.Join(labels, ".") + "." + strings.ReplaceAll(path, "/", ".") + "." + t.Name()
}

// add describes a type and all that it refers to.
func add(t reflect.Type, definitions map[string]fields) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		add(t.Elem(), definitions)
	case reflect.Struct:
		name := definition(t)
		if _, known := definitions[name]; known || opaque[name] || selfDecoding(t) {
			return
		}
		definitions[name] = nil
		definitions[name] = list(t, definitions)
	}
}

// selfDecoding tells the types of JSON schemas: JSON, JSONSchemaPropsOrBool and the like.
func selfDecoding(t reflect.Type) bool {
	return strings.HasPrefix(t.Name(), "JSON") && t.Name() != "JSONSchemaProps"
}

func list(t reflect.Type, definitions map[string]fields) fields {
	var listed fields
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && f.Anonymous {
			for _, each := range list(f.Type, definitions) {
				text := each.text + " in=" + f.Name
				if number := protobufNumber(f); number != "" {
					text = strings.Replace(text, " pb=", " pb="+number+".", 1)
				}
				listed = append(listed, field{each.name, text})
			}
			continue
		}
		if name == "-" || name == "" {
			continue
		}
		add(f.Type, definitions)
		text := strings.TrimSpace(text(f.Type) + " " + strings.ReplaceAll(options, ",", " "))
		if number := protobufNumber(f); number != "" {
			text += " pb=" + number
		}
		listed = append(listed, field{name, text})
	}
	return listed
}

// protobufNumber is the field's number in protobuf, "" where it has none.
func protobufNumber(f reflect.StructField) string {
	parts := strings.Split(f.Tag.Get("protobuf"), ",")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// text writes a type: *int32, []io.k8s.api.core.v1.Container, map[]string. A type with a name of its own has that too:
// string=v1.Protocol, map[v1.ResourceList]… .
func text(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + text(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "[]byte"
		}
		return "[]" + text(t.Elem())
	case reflect.Map:
		if t.PkgPath() != "" {
			return "map[" + t.String() + "]" + text(t.Elem())
		}
		return "map[]" + text(t.Elem())
	case reflect.Struct:
		return definition(t)
	default:
		if t.PkgPath() != "" {
			return t.Kind().String() + "=" + t.String()
		}
		return t.Kind().String()
	}
}
