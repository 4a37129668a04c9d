// Command argocd is what a test needs of Argo CD in one file; it is the one that it is called by: argocd-repo-server,
// argocd-application-controller, argocd, or the Redis that Argo CD's own headless mode brings along. As kstatus it says what
// Flux takes an object for.
//
// With PENSTOCK_ARGOCD_FOLDER set, it ends when its standard input does, and takes the folder with it: so none outlives the
// test that started it, however that ends.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	cli "github.com/argoproj/argo-cd/v3/cmd/argocd/commands"
)

func main() {
	if folder := os.Getenv("PENSTOCK_ARGOCD_FOLDER"); folder != "" {
		go endWithStarter(folder)
	}
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	switch filepath.Base(os.Args[0]) {
	case "argocd-repo-server":
		return reposerver.NewCommand()
	case "argocd-application-controller":
		return controller.NewCommand()
	case "argocd-redis":
		return &cobra.Command{
			Use:  "argocd-redis ADDRESS",
			Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, arguments []string) error { return redis(arguments[0]) },
		}
	case "kstatus":
		return &cobra.Command{
			Use:  "kstatus FILE",
			Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, arguments []string) error { return kstatus(arguments[0]) },
		}
	default:
		return cli.NewCommand()
	}
}

func redis(address string) error {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(address); err != nil {
		return err
	}
	// Its clock moves only when it is told to, and without a clock nothing that is cached expires.
	for range time.Tick(time.Second) {
		server.FastForward(time.Second)
	}
	return nil
}

// kstatus prints what Flux takes the object in a file for, and why.
func kstatus(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err = yaml.YAMLToJSON(text)
	if err != nil {
		return err
	}
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(text); err != nil {
		return err
	}
	result, err := status.Compute(&object)
	if err != nil {
		return err
	}
	fmt.Printf("STATUS: %s\nMESSAGE: %s\n", result.Status, result.Message)
	return nil
}

func endWithStarter(folder string) {
	// However reading ends, there is nobody left.
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = os.RemoveAll(folder)
	os.Exit(0)
}
