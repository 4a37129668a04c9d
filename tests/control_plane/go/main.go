// Command control-plane is kube-apiserver and etcd in one file; it is the one that it is called by.
//
// With PENSTOCK_CONTROL_PLANE_FOLDER set, it ends when its standard input does, and takes the folder with it: so neither
// outlives the test that started it, however that ends.
package main

import (
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if folder := os.Getenv("PENSTOCK_CONTROL_PLANE_FOLDER"); folder != "" {
		go endWithStarter(folder)
	}
	switch filepath.Base(os.Args[0]) {
	case "etcd":
		etcdmain.Main(os.Args)
	default:
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	}
}

func endWithStarter(folder string) {
	// However reading ends, there is nobody left.
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = os.RemoveAll(folder)
	os.Exit(0)
}
