// Command control-plane is all of Kubernetes that the tests need, and etcd, in one file; it is the one that it is called by.
//
// With PENSTOCK_CONTROL_PLANE_FOLDER set, it ends when its standard input does, and takes the folder with it: so none of
// them outlives the test that started it, however that ends.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if folder := os.Getenv("PENSTOCK_CONTROL_PLANE_FOLDER"); folder != "" {
		go endWithStarter(folder)
	}
	switch name := filepath.Base(os.Args[0]); name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		run(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		run(controllermanager.NewControllerManagerCommand())
	case "kube-scheduler":
		run(scheduler.NewSchedulerCommand())
	case "kubelet":
		run(kubelet.NewKubeletCommand(context.Background()))
	case "kube-proxy":
		run(proxy.NewProxyCommand())
	default:
		fmt.Fprintf(os.Stderr, "%s: call it by the name of a part of Kubernetes\n", name)
		os.Exit(2)
	}
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func endWithStarter(folder string) {
	// However reading ends, there is nobody left.
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = os.RemoveAll(folder)
	os.Exit(0)
}
