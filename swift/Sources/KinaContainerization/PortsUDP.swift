#if Containerization
    import NIOCore
    import NIOPosix

    /// Hands datagrams on, and the answers back to who asked: a socket for each client, until it has been silent for a
    /// while.
    enum UDPForwarder {
        static func listen(_ host: String, _ port: Int, _ target: SocketAddress) throws -> any Channel {
            try DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Datagrams(to: target))
                    }
                }
                .bind(host: host, port: port).wait()
        }
    }

    private final class Datagrams: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>

        /// A client's socket, and when it was last used.
        private struct Flow {
            let channel: EventLoopFuture<any Channel>
            var lastUse: NIODeadline
        }

        private static let silence = TimeAmount.seconds(60)
        private static let limit = 1024

        private let target: SocketAddress
        private var flows: [SocketAddress: Flow] = [:]
        private var sweeping: RepeatedTask?

        init(to target: SocketAddress) { self.target = target }

        func handlerAdded(context: ChannelHandlerContext) {
            let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
            sweeping = context.eventLoop.scheduleRepeatedTask(initialDelay: Self.silence, delay: Self.silence) { _ in
                bound.value.forget(olderThan: .now() - Self.silence)
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            sweeping?.cancel()
            sweeping = nil
            forget(olderThan: .distantFuture)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let datagram = unwrapInboundIn(data)
            let client = datagram.remoteAddress
            guard flows[client] != nil || flows.count < Self.limit else { return }
            let channel = flows[client]?.channel ?? open(for: client, context)
            flows[client] = Flow(channel: channel, lastUse: .now())
            let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
            channel.whenFailure { _ in bound.value.flows[client] = nil }
            let onward = AddressedEnvelope(remoteAddress: target, data: datagram.data)
            channel.whenSuccess { $0.writeAndFlush(onward, promise: nil) }
        }

        private func open(for client: SocketAddress, _ context: ChannelHandlerContext) -> EventLoopFuture<any Channel> {
            let (front, target) = (context.channel, target)
            return DatagramBootstrap(group: context.eventLoop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Answers(from: target, to: client, by: front))
                    }
                }
                .bind(host: "0.0.0.0", port: 0)
        }

        private func forget(olderThan time: NIODeadline) {
            for (client, flow) in flows where flow.lastUse < time {
                flows[client] = nil
                flow.channel.whenSuccess { $0.close(promise: nil) }
            }
        }

        /// A container may refuse a datagram (nobody listens there): the port stays.
        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }

    private final class Answers: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>

        private let source: SocketAddress
        private let client: SocketAddress
        private let front: any Channel

        init(from source: SocketAddress, to client: SocketAddress, by front: any Channel) {
            self.source = source
            self.client = client
            self.front = front
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let datagram = unwrapInboundIn(data)
            guard datagram.remoteAddress == source else { return }
            front.writeAndFlush(AddressedEnvelope(remoteAddress: client, data: datagram.data), promise: nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }
#endif
