package dev.penstock.kcl;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedWriter;
import java.io.Closeable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.kpl.ExtendedSequenceNumber;

/** The file with what was read, and the number of records that may still be written. */
final class Output implements Closeable {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final BufferedWriter file;
    private final CountDownLatch stop = new CountDownLatch(1);
    private long left;

    Output(Path path, long limit) throws IOException {
        this.file = Files.newBufferedWriter(path);
        this.left = limit;
    }

    /** Writes a record; false when no more may be written, and then it was not. */
    synchronized boolean record(String shard, KinesisClientRecord record) {
        if (left == 0) {
            return false;
        }
        left--;
        byte[] data = new byte[record.data().remaining()];
        record.data().duplicate().get(data);
        write(event("record", shard)
                .put("sequenceNumber", record.sequenceNumber())
                .put("subSequenceNumber", record.subSequenceNumber())
                .put("partitionKey", record.partitionKey())
                .put("explicitHashKey", record.explicitHashKey())
                .put("aggregated", record.aggregated())
                .put("arrivalMillis", record.approximateArrivalTimestamp().toEpochMilli())
                .put("data", data));
        if (left == 0) {
            stop();
        }
        return true;
    }

    synchronized void started(InitializationInput input) {
        ExtendedSequenceNumber from = input.extendedSequenceNumber();
        ExtendedSequenceNumber pending = input.pendingCheckpointSequenceNumber();
        write(event("started", input.shardId())
                .put("sequenceNumber", from.sequenceNumber())
                .put("subSequenceNumber", from.subSequenceNumber())
                .put("pendingSequenceNumber", pending == null ? null : pending.sequenceNumber()));
    }

    synchronized void happened(String kind, String shard) {
        write(event(kind, shard));
    }

    void stop() {
        stop.countDown();
    }

    void awaitStop() throws InterruptedException {
        stop.await();
    }

    @Override
    public synchronized void close() throws IOException {
        file.close();
    }

    private static ObjectNode event(String kind, String shard) {
        return JSON.createObjectNode().put("event", kind).put("shard", shard);
    }

    private void write(ObjectNode line) {
        try {
            file.write(JSON.writeValueAsString(line));
            file.newLine();
            file.flush();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
