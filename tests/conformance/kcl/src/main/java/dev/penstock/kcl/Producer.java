package dev.penstock.kcl;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.util.concurrent.ListenableFuture;
import java.math.BigInteger;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.kinesis.producer.KinesisProducer;
import software.amazon.kinesis.producer.KinesisProducerConfiguration;
import software.amazon.kinesis.producer.UserRecord;
import software.amazon.kinesis.producer.UserRecordResult;

/**
 * Puts records by the Kinesis Producer Library, and prints where each went, one JSON object a line. The library
 * aggregates as it always does; its settings are its own but for where the service is.
 */
public final class Producer {
    private static final long SECONDS = 60;
    private static final BigInteger LAST_HASH = BigInteger.TWO.pow(128).subtract(BigInteger.ONE);

    private Producer() {}

    public static void main(String[] arguments) throws Exception {
        Options options = Options.parse(arguments);
        Path folder = Path.of(options.text("folder"));
        try (TlsFront front = new TlsFront(URI.create(options.text("endpoint")), folder)) {
            KinesisProducer producer = new KinesisProducer(configuration(options, front.port(), folder));
            // Until the library knows the shards it does not aggregate.
            put(producer, records(options.text("stream"), options.text("label") + " first", 1));
            put(producer, records(options.text("stream"), options.text("label"), options.number("records", 300)));
            producer.destroy();
        }
        System.exit(0);
    }

    private static KinesisProducerConfiguration configuration(Options options, int port, Path folder) {
        String host = "127.0.0.1";
        AwsBasicCredentials anybody = AwsBasicCredentials.create("local", "local");
        return new KinesisProducerConfiguration()
                .setRegion(options.text("region"))
                .setKinesisEndpoint(host)
                .setKinesisPort(port)
                .setStsEndpoint(host)
                .setStsPort(port)
                .setVerifyCertificate(false)
                .setCredentialsProvider(StaticCredentialsProvider.create(anybody))
                // CloudWatch is no engine here.
                .setMetricsLevel("none")
                .setTempDirectory(folder.toString());
    }

    /** Of all sizes, under few keys and many, and some with a hash key of their own. */
    private static List<UserRecord> records(String stream, String label, long count) {
        List<UserRecord> records = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            byte[] data = (label + " " + number).repeat(number % 10).getBytes(StandardCharsets.UTF_8);
            UserRecord record = new UserRecord(stream, "key-" + number % 40, ByteBuffer.wrap(data));
            if (number % 5 == 0) {
                BigInteger hash = LAST_HASH.multiply(BigInteger.valueOf(number)).divide(BigInteger.valueOf(count));
                record.setExplicitHashKey(hash.toString());
            }
            records.add(record);
        }
        records.add(new UserRecord(stream, "large", ByteBuffer.wrap(new byte[900 * 1024])));
        return records;
    }

    private static void put(KinesisProducer producer, List<UserRecord> records) throws Exception {
        List<ListenableFuture<UserRecordResult>> results = new ArrayList<>();
        for (UserRecord record : records) {
            results.add(producer.addUserRecord(record));
        }
        producer.flush();
        ObjectMapper json = new ObjectMapper();
        for (int at = 0; at < records.size(); at++) {
            UserRecord record = records.get(at);
            UserRecordResult result = results.get(at).get(SECONDS, TimeUnit.SECONDS);
            System.out.println(json.createObjectNode()
                    .put("shard", result.getShardId())
                    .put("sequenceNumber", result.getSequenceNumber())
                    .put("partitionKey", record.getPartitionKey())
                    .put("data", record.getData().array())
                    .toString());
        }
    }
}
