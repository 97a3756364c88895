package interop;

import io.openmessaging.storage.dledger.DLedgerConfig;
import io.openmessaging.storage.dledger.MemberState;
import io.openmessaging.storage.dledger.store.file.DLedgerMmapFileStore;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.store.ConsumeQueue;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.StoreCheckpoint;
import org.apache.rocketmq.store.config.MessageStoreConfig;
import org.apache.rocketmq.store.index.IndexFile;
import org.apache.rocketmq.store.queue.CqUnit;
import org.apache.rocketmq.store.queue.ReferredIterator;
import org.apache.rocketmq.store.stats.BrokerStatsManager;

/**
 * Reads a store's directory with Apache's own classes, and prints what they find.
 *
 *   record …                                     each entry of the log, see Lines
 *   queue TOPIC ID MIN MAX                       each ConsumeQueue
 *   unit TOPIC ID OFFSET PHYSICAL SIZE TAGSCODE  each of its entries
 *   index TOPIC KEY PHYSICAL,…                   what the index files say to each line "TOPIC KEY" of the file of questions
 *   checkpoint PHYSIC LOGICS INDEX               times
 *
 * Arguments: ROOT SELF LOG_FILE_BYTES QUEUE_FILE_BYTES HASH_SLOTS INDEX_ENTRIES QUESTIONS.
 */
public final class WalkStore {
    private final StringBuilder out = new StringBuilder();
    private final String root;

    private WalkStore(String root) {
        this.root = root;
    }

    public static void main(String[] args) throws Exception {
        WalkStore walk = new WalkStore(args[0]);
        walk.log(args[1], Integer.parseInt(args[2]));
        walk.queues(Integer.parseInt(args[3]));
        walk.index(Integer.parseInt(args[4]), Integer.parseInt(args[5]), Files.readAllLines(Path.of(args[6])));
        if (new File(args[0], "checkpoint").exists()) {
            StoreCheckpoint checkpoint = new StoreCheckpoint(args[0] + "/checkpoint");
            walk.line("checkpoint " + checkpoint.getPhysicMsgTimestamp() + " " + checkpoint.getLogicsMsgTimestamp() + " "
                + checkpoint.getIndexMsgTimestamp());
        }
        System.out.write(walk.out.toString().getBytes(StandardCharsets.UTF_8));
        System.out.flush();
        // Nothing that is mapped needs to be written back.
        Runtime.getRuntime().halt(0);
    }

    private void line(String text) {
        out.append(text).append('\n');
    }

    private void log(String self, int fileBytes) {
        DLedgerConfig config = new DLedgerConfig();
        config.setStoreBaseDir(root);
        config.setSelfId(self);
        config.setGroup("g");
        config.setPeers(self + "-localhost:20911");
        config.setMappedFileSizeForEntryData(fileBytes);
        DLedgerMmapFileStore store = new DLedgerMmapFileStore(config, new MemberState(config));
        store.load();
        store.recover();
        for (long index = Math.max(0, store.getLedgerBeginIndex()); index <= store.getLedgerEndIndex(); index++) {
            byte[] body = store.get(index).getBody();
            MessageExt message = MessageDecoder.decode(ByteBuffer.wrap(body), true, true, false, false, true);
            line(message == null ? "unreadable " + index : Lines.record(message));
        }
    }

    private void queues(int fileBytes) throws Exception {
        MessageStoreConfig config = new MessageStoreConfig();
        config.setStorePathRootDir(root + "/.walk");
        config.setStorePathCommitLog(root + "/.walk/commitlog");
        DefaultMessageStore store = new DefaultMessageStore(
            config, new BrokerStatsManager("walk", false), null, new BrokerConfig(), new ConcurrentHashMap<>());
        String folder = root + "/consumequeue";
        for (File topic : sorted(new File(folder))) {
            for (File id : sorted(topic)) {
                ConsumeQueue queue =
                    new ConsumeQueue(topic.getName(), Integer.parseInt(id.getName()), folder, fileBytes, store);
                queue.load();
                queue.recover();
                String name = topic.getName() + " " + id.getName();
                line("queue " + name + " " + queue.getMinOffsetInQueue() + " " + queue.getMaxOffsetInQueue());
                ReferredIterator<CqUnit> units = queue.iterateFrom(0);
                while (units != null && units.hasNext()) {
                    CqUnit unit = units.next();
                    line("unit " + name + " " + unit.getQueueOffset() + " " + unit.getPos() + " " + unit.getSize() + " "
                        + unit.getTagsCode());
                    if (!units.hasNext()) {
                        units.release();
                        units = queue.iterateFrom(unit.getQueueOffset() + 1);
                    }
                }
            }
        }
    }

    private void index(int slots, int entries, List<String> questions) throws Exception {
        List<IndexFile> files = new ArrayList<>();
        for (File file : sorted(new File(root, "index"))) {
            IndexFile index = new IndexFile(file.getPath(), slots, entries, 0, 0);
            index.load();
            files.add(index);
        }
        for (String question : questions) {
            String[] words = question.split(" ");
            List<Long> found = new ArrayList<>();
            for (IndexFile file : files) {
                file.selectPhyOffset(found, words[0] + "#" + words[1], 1000, 0, Long.MAX_VALUE);
            }
            line("index " + question + " " + found.stream().sorted().map(String::valueOf).collect(Collectors.joining(",")));
        }
    }

    private static File[] sorted(File folder) {
        File[] files = folder.listFiles();
        if (files == null) {
            return new File[0];
        }
        Arrays.sort(files);
        return files;
    }
}
