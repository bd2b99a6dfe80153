package deploy_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// compose reads the file as `docker compose` does, with its schema and with variables.
func compose(ctx context.Context, environ ...string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{"compose.yaml"}, cli.WithEnv(environ), cli.WithResolvedPaths(true))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(ctx)
}

func TestComposeNamesAMissingSecret(t *testing.T) {
	for missing, environ := range map[string][]string{
		"COPYHOLD_SEALING_KEY_FILE":       {"COPYHOLD_DATABASE_PASSWORD_FILE=./password"},
		"COPYHOLD_DATABASE_PASSWORD_FILE": {"COPYHOLD_SEALING_KEY_FILE=./key"},
	} {
		_, err := compose(t.Context(), environ...)
		if err == nil || !strings.Contains(err.Error(), "name the file") || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

func TestCompose(t *testing.T) {
	dir := secrets(t)
	project, err := compose(t.Context(), "COPYHOLD_DATABASE_PASSWORD_FILE="+filepath.Join(dir, "database-password"), "COPYHOLD_SEALING_KEY_FILE="+filepath.Join(dir, "sealing-key"))
	if err != nil {
		t.Fatal(err)
	}
	server := project.Services["copyhold"]
	if !server.ReadOnly || server.User != "65532:65532" || !slices.Equal(server.CapDrop, []string{"ALL"}) || !slices.Contains(server.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("the server may do more than it needs: %+v", server)
	}
	if server.DependsOn["database"].Condition != types.ServiceConditionHealthy {
		t.Error("the server does not wait for its database")
	}
	if _, published := project.Services["database"].Networks["outside"]; published || len(project.Services["database"].Ports) > 0 {
		t.Error("the database can be reached from outside")
	}
	var environ []string
	for name, value := range server.Environment {
		environ = append(environ, name+"="+strings.ReplaceAll(*value, "/run/secrets", dir))
	}
	printed(t, environ, []string{"# database: (hidden)", "# database_password: (hidden)", "# key: (hidden)", `format: "json"`})
}
