package dev.penstock.kcl;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.awscore.client.builder.AwsClientBuilder;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.Tag;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.CoordinatorConfig;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.leases.LeaseManagementConfig;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.ShardRecordProcessorFactory;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.RetrievalSpecificConfig;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * A KCL application that writes what it reads, one JSON object a line, and checkpoints after every batch.
 *
 * <p>It stops in the KCL's own graceful way when its standard input ends, or, with {@code --stop-after}, once it has
 * written so many records. With {@code --discard true} it throws away what it reads. Where clocks and pauses can be set they are short, since nobody waits for a test gladly;
 * everything else is as the KCL has it.
 */
public final class Application {
    private static final long STOP_SECONDS = 60;

    private final Options options;
    private final Output output;
    private final Scheduler scheduler;
    private volatile boolean gaveUp;

    private Application(Options options) throws IOException {
        this.options = options;
        this.output = new Output(Path.of(options.text("output")), options.number("stop-after", Long.MAX_VALUE));
        this.scheduler = scheduler();
    }

    public static void main(String[] arguments) throws Exception {
        Application application = new Application(Options.parse(arguments));
        Thread reading = new Thread(application::read, "scheduler");
        reading.start();
        Thread standardInput = new Thread(application::awaitEndOfInput, "standard-input");
        standardInput.setDaemon(true);
        standardInput.start();
        application.output.awaitStop();
        if (application.gaveUp) {
            System.exit(2);
        }
        Future<Boolean> stopped = application.scheduler.startGracefulShutdown();
        boolean inTime = stopped.get(STOP_SECONDS, TimeUnit.SECONDS);
        reading.join(TimeUnit.SECONDS.toMillis(STOP_SECONDS));
        application.output.close();
        // The KCL leaves threads behind that keep the process alive.
        System.exit(inTime ? 0 : 3);
    }

    /** Reads until told to stop. The KCL ends by itself when it cannot begin. */
    private void read() {
        scheduler.run();
        if (!scheduler.hasGracefulShutdownStarted()) {
            gaveUp = true;
            output.stop();
        }
    }

    private void awaitEndOfInput() {
        try {
            while (System.in.read() >= 0) {
                // What is written there means nothing; that it ends does.
            }
        } catch (IOException broken) {
            // The same as the end.
        }
        output.stop();
    }

    private Scheduler scheduler() {
        KinesisAsyncClient kinesis = KinesisClientUtil.createKinesisAsyncClient(located(KinesisAsyncClient.builder()));
        DynamoDbAsyncClient dynamoDb = located(DynamoDbAsyncClient.builder()).build();
        CloudWatchAsyncClient cloudWatch = located(CloudWatchAsyncClient.builder()).build();
        InitialPositionInStreamExtended start =
                InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
        SingleStreamTracker stream = new SingleStreamTracker(options.text("stream"), start);
        ConfigsBuilder configs = new ConfigsBuilder(
                stream,
                options.text("application"),
                kinesis,
                dynamoDb,
                cloudWatch,
                options.text("worker"),
                processors());
        return new Scheduler(
                configs.checkpointConfig(),
                coordination(configs),
                leases(configs),
                configs.lifecycleConfig(),
                // CloudWatch is no engine here.
                configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                configs.processorConfig().callProcessRecordsEvenForEmptyRecordList(false),
                configs.retrievalConfig().retrievalSpecificConfig(retrieval(kinesis)));
    }

    private ShardRecordProcessorFactory processors() {
        return options.flag("discard") ? Discarding::new : () -> new Processor(output);
    }

    private CoordinatorConfig coordination(ConfigsBuilder configs) {
        return configs.coordinatorConfig()
                .parentShardPollIntervalMillis(500)
                .shardConsumerDispatchPollIntervalMillis(100);
    }

    private LeaseManagementConfig leases(ConfigsBuilder configs) {
        return configs.leaseManagementConfig()
                .failoverTimeMillis(options.number("failover-millis", 10_000))
                .shardSyncIntervalMillis(1_000)
                .leasesRecoveryAuditorExecutionFrequencyMillis(2_000)
                // What the KCL can ask of DynamoDB, it asks.
                .leaseTableDeletionProtectionEnabled(true)
                .leaseTablePitrEnabled(true)
                .tags(List.of(Tag.builder().key("application").value(options.text("application")).build()));
    }

    private RetrievalSpecificConfig retrieval(KinesisAsyncClient kinesis) {
        String stream = options.text("stream");
        return switch (options.text("retrieval")) {
            case "polling" -> new PollingConfig(stream, kinesis).idleTimeBetweenReadsInMillis(options.number("idle-millis", 250));
            case "fan-out" -> new FanOutConfig(kinesis).streamName(stream).applicationName(options.text("application"));
            default -> throw new IllegalArgumentException("--retrieval is polling or fan-out");
        };
    }

    private <B extends AwsClientBuilder<B, C>, C> B located(B builder) {
        return builder.region(Region.of(options.text("region"))).endpointOverride(URI.create(options.text("endpoint")));
    }
}
