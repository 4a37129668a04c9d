package dev.penstock.kcl;

import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.retrieval.KinesisClientRecord;

/** Writes the records of one shard, and checkpoints what was written and nothing else. */
final class Processor implements ShardRecordProcessor {
    private final Output output;
    private String shard;

    Processor(Output output) {
        this.output = output;
    }

    @Override
    public void initialize(InitializationInput input) {
        shard = input.shardId();
        output.started(input);
    }

    @Override
    public void processRecords(ProcessRecordsInput input) {
        KinesisClientRecord last = null;
        for (KinesisClientRecord record : input.records()) {
            if (!output.record(shard, record)) {
                break;
            }
            last = record;
        }
        if (last != null) {
            checkpoint(input.checkpointer(), last);
        }
    }

    @Override
    public void leaseLost(LeaseLostInput input) {
        output.happened("lease-lost", shard);
    }

    @Override
    public void shardEnded(ShardEndedInput input) {
        output.happened("shard-ended", shard);
        try {
            input.checkpointer().checkpoint();
        } catch (InvalidStateException | ShutdownException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public void shutdownRequested(ShutdownRequestedInput input) {
        // Every record that was written has been checkpointed.
        output.happened("shutdown-requested", shard);
    }

    private void checkpoint(RecordProcessorCheckpointer checkpointer, KinesisClientRecord last) {
        try {
            checkpointer.checkpoint(last.sequenceNumber(), last.subSequenceNumber());
        } catch (InvalidStateException | ShutdownException error) {
            throw new IllegalStateException(error);
        }
    }
}
