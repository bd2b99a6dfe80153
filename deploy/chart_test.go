// Package deploy_test checks the files in this folder with the libraries that read them: the
// chart with Helm and Kubernetes, and the compose file with Compose. It is a separate module
// because these checks need hundreds of packages that the server does not need.
package deploy_test

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

const chartFolder = "helm/copyhold"

type values = map[string]any

// render returns the output of `helm template` for the chart, by template.
func render(t *testing.T, given values) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	if err := chartutil.ProcessDependencies(chart, given); err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(chart, given, chartutil.ReleaseOptions{Name: "copyhold", Namespace: "licensing", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

// decode reads manifests strictly: an unknown or repeated field is an error.
func decode(t *testing.T, rendered map[string]string) (kinds []string, objects []runtime.Object) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for _, name := range slices.Sorted(maps.Keys(rendered)) {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for _, manifest := range strings.Split(rendered[name], "\n---\n") {
			if strings.TrimSpace(manifest) == "" {
				continue
			}
			object, kind, err := decoder.Decode([]byte(manifest), nil, nil)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, manifest)
				continue
			}
			kinds, objects = append(kinds, kind.Kind), append(objects, object)
		}
	}
	return kinds, objects
}

func TestChart(t *testing.T) {
	for name, test := range map[string]struct {
		values   values
		kinds    []string
		settings []string // lines that the program prints for the settings
	}{
		"SQLite": {
			values{"secret": "keys"}, []string{"ConfigMap", "Service", "Service", "StatefulSet"},
			[]string{`listen: "0.0.0.0:7400"`, `data: "/var/lib/copyhold"`, `metrics_listen: "0.0.0.0:7401"`, `format: "json"`,
				`"copyhold.licensing.svc"`, "# key: (hidden)"},
		},
		"PostgreSQL, with everything": {
			values{
				"secret": "keys", "replicas": 3, "postgres": values{"url": "postgres://copyhold@db/copyhold"},
				"tls": values{"secret": "certificate"}, "metrics": values{"enabled": false}, "persistence": values{"storageClass": "fast"},
				"ingress":  values{"enabled": true, "host": "licenses.example.com", "className": "nginx", "tlsSecret": "public"},
				"image":    values{"repository": "registry.example.com/copyhold", "tag": "v1", "pullSecrets": []any{values{"name": "registry"}}},
				"settings": values{"hosts": []any{"own.example.com"}, "limits": values{"per_token": 7}},
				"service":  values{"type": "LoadBalancer", "annotations": values{"a": "b"}}, "podAnnotations": values{"c": "d"},
				"nodeSelector": values{"disk": "fast"}, "tolerations": []any{values{"key": "licensing", "operator": "Exists"}},
				"affinity": values{"podAntiAffinity": values{}},
			},
			[]string{"ConfigMap", "Ingress", "PodDisruptionBudget", "Service", "Service", "StatefulSet"},
			[]string{"# database: (hidden)", "# database_password: (hidden)", `"own.example.com"`, `"licenses.example.com"`, "per_token: 7",
				`certificate: "/run/tls/tls.crt"`, `metrics_listen: ""`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, m := range lint.All(chartFolder, test.values, "licensing", true).Messages {
				if m.Severity > support.InfoSev {
					t.Errorf("helm lint: %v", m)
				}
			}
			rendered, err := render(t, test.values)
			if err != nil {
				t.Fatal(err)
			}
			kinds, objects := decode(t, rendered)
			if !slices.Equal(kinds, test.kinds) {
				t.Errorf("the chart creates %q, not %q", kinds, test.kinds)
			}
			for _, object := range objects {
				switch o := object.(type) {
				case *appsv1.StatefulSet:
					confined(t, o.Spec.Template.Spec)
				case *corev1.ConfigMap:
					understood(t, o.Data["copyhold.yaml"], test.settings)
				}
			}
			notes := rendered["copyhold/templates/NOTES.txt"]
			if !strings.Contains(notes, "exec copyhold-0 -- /usr/bin/copyhold token create") {
				t.Errorf("the notes do not explain how to create the first token:\n%s", notes)
			}
		})
	}
}

// confined checks the restrictions that the image relies on and that cluster policies require.
func confined(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	c := pod.Containers[0].SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || !*c.ReadOnlyRootFilesystem || *c.AllowPrivilegeEscalation || *pod.AutomountServiceAccountToken ||
		!slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod may do more than it needs: %+v, %+v", pod.SecurityContext, c)
	}
	for _, m := range pod.Containers[0].VolumeMounts {
		if !m.ReadOnly && m.MountPath != "/var/lib/copyhold" {
			t.Errorf("the server may write to %s", m.MountPath)
		}
	}
}

func TestChartRefusesWhatCannotRun(t *testing.T) {
	for name, test := range map[string]struct {
		values values
		want   string
	}{
		"no secret":           {values{}, "secret is not set: create a Kubernetes secret with the server's sealing-key"},
		"two on SQLite":       {values{"secret": "keys", "replicas": 2}, "SQLite allows only one server; set postgres.url"},
		"ingress of no host":  {values{"secret": "keys", "ingress": values{"enabled": true}}, "ingress.host is not set"},
		"a secret setting":    {values{"secret": "keys", "settings": values{"database_password": "hunter2"}}, "settings.database_password"},
		"a misspelled value":  {values{"secret": "keys", "replica": 2}, "replica"},
		"no PostgreSQL's URL": {values{"secret": "keys", "postgres": values{"url": "mysql://db"}}, "postgres.url"},
	} {
		_, err := render(t, test.values)
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "/", "."), strings.ReplaceAll(test.want, "/", ".")) {
			t.Errorf("%s: %v, not %q", name, err, test.want)
		}
	}
}
