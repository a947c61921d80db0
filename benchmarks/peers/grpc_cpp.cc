// Echo of bench.proto on gRPC C++ (callback API), beside the servers of benchmarks/servers. To build it, in the
// project's folder, with libgrpc++-dev, protobuf-compiler-grpc, pkg-config and g++:
//
//     mkdir -p /tmp/grpc_cpp
//     protoc -I benchmarks -I actorrpc/include --cpp_out=/tmp/grpc_cpp --grpc_out=/tmp/grpc_cpp \
//         --plugin=protoc-gen-grpc=$(which grpc_cpp_plugin) bench.proto actorrpc/options.proto
//     g++ -O2 -std=c++17 -I /tmp/grpc_cpp -o /tmp/grpc_cpp/server benchmarks/peers/grpc_cpp.cc \
//         $(find /tmp/grpc_cpp -name '*.cc') $(pkg-config --cflags --libs grpc++ protobuf)
//
// server CERTIFICATE KEY prints "ready PLAINTEXT TLS", two addresses, and serves until its standard input ends.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "bench.grpc.pb.h"

struct EchoService : bench::Echo::CallbackService {
  grpc::ServerUnaryReactor* Say(grpc::CallbackServerContext* context, const bench::Note* request,
                                bench::Note* reply) override {
    reply->set_number(request->number());
    reply->set_text(request->text());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

static std::string read_file(const char* path) {
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({read_file(argv[2]), read_file(argv[1])});
  EchoService service;
  grpc::ServerBuilder builder;
  int plaintext = 0, secure = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &plaintext);
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &secure);
  builder.RegisterService(&service);
  auto server = builder.BuildAndStart();
  if (!plaintext || !secure) return 1;
  printf("ready 127.0.0.1:%d 127.0.0.1:%d\n", plaintext, secure);
  fflush(stdout);
  char unread[64];
  while (read(0, unread, sizeof unread) > 0) {
  }
  _exit(0);
}
